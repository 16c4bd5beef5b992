!> Corrections of the ocean: increments of an analysis, and the tendencies of a bias correction that the coupler sends.
!!
!! An analysis is inserted at once (now = background + increment, then a forward step) or spread over steps: each adds the tendency
!! weight times increment over rn_Dt. Tendencies of both kinds are summed and enter a step as NEMO's increments do: momentum after
!! wind and drag, thickness as a source of continuity, temperature as content. A source of thickness brings water of the
!! temperature that is there: it changes the content by T(before) dh, and T not at all.
module asminc
   use par_kind, only: wp
   use par_oce, only: jpi, jpk, jp_tem, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: rn_Dt, rDt, l_1st_euler, tmask, umask, vmask
   use oce, only: uu, vv, e3t, ts
   use asmpar, only: l_asminc, ln_asmdin, ln_asmiau, nitdin, nitiaustr, nitiaufin, nn_asmwin, asm_bkg_due, asm_inc_name, asm_weight
   use asmget, only: t_inc, inc_alloc, asm_get, asm_wait, asm_thickness
   use asmbkg, only: asm_bkg
   use lbclnk, only: lbc_lnk
   use in_out_manager, only: nn_it000
   use timing, only: timing_start, timing_stop, jptim_asm
   implicit none
   private
   public :: asm_inc, asm_bkg_wri, asm_bias, asm_tend, thk_asm, dyn_asm, tra_asm

   logical, public, protected :: l_asm = .false.   !< the present step adds the tendencies below
   type(t_inc), public, protected :: tend          !< those of the present step, thickness with its halo [m s-2, m s-1, degC s-1]

   type(t_inc) :: bias                 ! those of the bias correction, held between exchanges
   type(t_inc) :: incr                 ! increments of the present window
   logical :: l_bias = .false.         ! there is a bias correction
   logical :: l_again = .false.        ! tend is to be made again, though no increment is being spread
   integer :: nfirst = 0, nlast = -1   ! steps that add the increments

contains

   !> At the beginning of step kt: backgrounds and increments of the state that step kt - 1 has left.
   !!
   !! A run that begins within the update of a window reads the increments of that window again and goes on with their weights.
   subroutine asm_inc(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step, now level
      integer :: ika

      if (.not. l_asminc) return
      call timing_start(jptim_asm)
      if (kt == nn_it000) then
         if (asm_bkg_due(kt - 1)) call asm_bkg(kt - 1, Kmm)
         if (ln_asmdin .or. ln_asmiau) call inc_alloc(incr)
      end if
      if (nn_asmwin > 0 .and. (ln_asmdin .or. ln_asmiau)) then
         ika = ((kt - 1)/nn_asmwin)*nn_asmwin
         if (ika > 0 .and. (ika == kt - 1 .or. (ln_asmiau .and. kt == nn_it000))) then
            call asm_wait(asm_inc_name(ika))
            call asm_get(asm_inc_name(ika), ika, .true., incr)
            nfirst = ika + 1
            nlast = ika + nn_asmwin
         end if
      else if (kt == nn_it000 .and. (ln_asmdin .or. ln_asmiau)) then
         nfirst = kt + merge(nitdin, nitiaustr - 1, ln_asmdin)
         nlast = kt - 1 + nitiaufin
         call asm_get(asm_inc_name(kt), nfirst - 1, ln_asmdin, incr)
      end if
      if (kt == nfirst) call asm_thickness(asm_inc_name(kt - 1), e3t(:, :, :, Kmm), incr%h)
      if (kt == nfirst .and. ln_asmdin) then
         uu(:, :, :, Kmm) = uu(:, :, :, Kmm) + incr%u
         vv(:, :, :, Kmm) = vv(:, :, :, Kmm) + incr%v
         e3t(:, :, :, Kmm) = e3t(:, :, :, Kmm) + incr%h
         ts(:, :, :, jp_tem, Kmm) = ts(:, :, :, jp_tem, Kmm) + incr%t
         l_1st_euler = .true.
      end if
      call timing_stop(jptim_asm)
   end subroutine asm_inc

   !> At the end of step kt: write its background if one is due.
   subroutine asm_bkg_wri(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step that has ended, and the now level after it
      if (.not. l_asminc) return
      if (.not. asm_bkg_due(kt)) return
      call timing_start(jptim_asm)
      call asm_bkg(kt, Kmm)
      call timing_stop(jptim_asm)
   end subroutine asm_bkg_wri

   !> Hold new tendencies of the bias correction, masked. All ranks call it in the same step: the halo of dh is filled here.
   subroutine asm_bias(pdu, pdv, pdh, pdt)
      real(wp), intent(in), dimension(:, :, :) :: pdu, pdv   !< velocity, interior [m s-2]
      real(wp), intent(in) :: pdh(:, :, :)                   !< thickness, interior [m s-1]
      real(wp), intent(in) :: pdt(:, :, :)                   !< temperature, interior, one level [degC s-1]
      if (.not. allocated(bias%u)) call inc_alloc(bias)
      bias%u(Nis0:Nie0, Njs0:Nje0, :) = pdu*umask(Nis0:Nie0, Njs0:Nje0, :)
      bias%v(Nis0:Nie0, Njs0:Nje0, :) = pdv*vmask(Nis0:Nie0, Njs0:Nje0, :)
      bias%h(Nis0:Nie0, Njs0:Nje0, :) = pdh*tmask(Nis0:Nie0, Njs0:Nje0, :)
      bias%t(Nis0:Nie0, Njs0:Nje0, :) = pdt*tmask(Nis0:Nie0, Njs0:Nje0, 1:1)
      call lbc_lnk('asm_bias', bias%h, 'T', 1._wp)
      l_bias = .true.
      l_again = .true.
   end subroutine asm_bias

   !> The tendencies of step kt: bias correction plus the part of the increments that this step adds.
   subroutine asm_tend(kt)
      integer, intent(in) :: kt   !< step
      logical :: ll_iau
      real(wp) :: zw
      ll_iau = ln_asmiau .and. kt >= nfirst .and. kt <= nlast
      l_asm = l_bias .or. ll_iau
      if (.not. (ll_iau .or. l_again)) return
      if (.not. allocated(tend%u)) call inc_alloc(tend)
      if (l_bias) call add(bias, 1._wp, .true.)
      if (ll_iau) then
         zw = asm_weight(kt - nfirst + 1, nlast - nfirst + 1)/rn_Dt
         call add(incr, zw, .not. l_bias)
      end if
      l_again = ll_iau   ! after its last step, too
   end subroutine asm_tend

   subroutine add(inc, pfactor, ldnew)
      type(t_inc), intent(in) :: inc
      real(wp), intent(in) :: pfactor
      logical, intent(in) :: ldnew   ! in place of what was there
      if (ldnew) then
         tend%u = pfactor*inc%u
         tend%v = pfactor*inc%v
         tend%h = pfactor*inc%h
         tend%t = pfactor*inc%t
      else
         tend%u = tend%u + pfactor*inc%u
         tend%v = tend%v + pfactor*inc%v
         tend%h = tend%h + pfactor*inc%h
         tend%t = tend%t + pfactor*inc%t
      end if
   end subroutine add

   !> h(after) = h(after) + rDt dh, where thk_adv made h(after): one cell beyond the interior, too.
   subroutine thk_asm(Kaa, kj1, kj2)
      integer, intent(in) :: Kaa        !< after level
      integer, intent(in) :: kj1, kj2   !< rows, of 2 to jpj-1
      integer :: ji, jj, jk
      do jk = 1, jpk
         do jj = kj1, kj2
            do ji = 2, jpi - 1
               e3t(ji, jj, jk, Kaa) = e3t(ji, jj, jk, Kaa) + rDt*tend%h(ji, jj, jk)
            end do
         end do
      end do
   end subroutine thk_asm

   !> Add the tendencies of velocity.
   subroutine dyn_asm(Krhs, kj1, kj2)
      integer, intent(in) :: Krhs       !< level of the right-hand side
      integer, intent(in) :: kj1, kj2   !< rows
      integer :: ji, jj, jk
      do jk = 1, jpk
         do jj = kj1, kj2
            do ji = Nis0, Nie0
               uu(ji, jj, jk, Krhs) = uu(ji, jj, jk, Krhs) + tend%u(ji, jj, jk)
               vv(ji, jj, jk, Krhs) = vv(ji, jj, jk, Krhs) + tend%v(ji, jj, jk)
            end do
         end do
      end do
   end subroutine dyn_asm

   !> Add h(now) dT/dt + T(before) dh/dt to the content: divided by h(after), which the source has raised, T stays as it was.
   subroutine tra_asm(Kbb, Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2         !< rows
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            ts(ji, jj, 1, jp_tem, Krhs) = ts(ji, jj, 1, jp_tem, Krhs) &
            &  + (e3t(ji, jj, 1, Kmm)*tend%t(ji, jj, 1) + ts(ji, jj, 1, jp_tem, Kbb)*tend%h(ji, jj, 1))
         end do
      end do
   end subroutine tra_asm
end module asminc
