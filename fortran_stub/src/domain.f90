!> The domain: time-step namelist, horizontal grid on the beta plane, masks with the slip of the walls.
module domain
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk
   use dom_oce, only: dom_oce_alloc, mig, mjg, l_Iperio, rn_Dt, rn_atfp, ln_1st_euler, ln_meshmask, rn_hmin, rDt, &
   &  glamt, glamu, glamv, glamf, gphit, gphiu, gphiv, gphif, e1t, e1u, e1v, e1f, e2t, e2u, e2v, e2f, &
   &  r1_e1u, r1_e2u, r1_e1v, r1_e2v, r1_e1e2t, r1_e1e2u, r1_e1e2v, r1_e1e2f, e1e2t, e1_e2t, e2_e1t, e1_e2f, e2_e1f, &
   &  e1t2, e2t2, e1f2, e2f2, ff_t, ff_f, tmask, umask, vmask, fmask, r1_nf, rland
   use usrdef, only: usr_def_wet, rn_dx, rn_f0, rn_beta, nn_ny
   use lbcnfd, only: nfd_source
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: dom_init

   real(wp) :: rn_shlat = 2._wp   ! lateral wall: 0 free slip, 2 no slip

contains

   !> Read &namdom and &namlbc; build the domain of this rank.
   subroutine dom_init()
      namelist /namdom/ rn_Dt, rn_atfp, ln_1st_euler, rn_hmin, ln_meshmask
      namelist /namlbc/ rn_shlat
      integer :: ios

      do while (nam_next('namdom'))
         read (cnam, namdom, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      do while (nam_next('namlbc'))
         read (cnam, namlbc, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. rn_Dt > 0._wp) call ctl_stop('the time step must be positive.', nam_where('namdom', 'rn_Dt'))
      if (.not. (rn_atfp >= 0._wp .and. rn_atfp < 0.5_wp)) call ctl_stop('the Asselin coefficient must lie in [0, 0.5).', &
      &  nam_where('namdom', 'rn_atfp'))
      if (.not. (rn_shlat >= 0._wp .and. rn_shlat <= 2._wp)) &
      &  call ctl_stop('rn_shlat must lie between 0 (free slip) and 2 (no slip).', nam_where('namlbc', 'rn_shlat'))
      rDt = 2._wp*rn_Dt
      call dom_oce_alloc()
      call dom_hgr()
      call dom_msk()
      if (lwp) write (numout, '(a,f0.3,a,f0.3)') ' dom_init: time step ', rn_Dt, ' s, rn_shlat = ', rn_shlat
   end subroutine dom_init

   !> Coordinates, metrics and Coriolis parameter: a beta plane with square cells.
   !! A point beyond a fold, and the second of a pair on it, is where the point that it repeats is: same place, same f.
   subroutine dom_hgr()
      real(wp) :: zoff, zlen

      zoff = merge(0.5_wp, 1.5_wp, l_Iperio)   ! the western wall is the east face of column 1, unless there is none
      zlen = 0.5_wp*real(nn_ny, wp)*rn_dx
      call place('T', 0._wp, 0._wp, glamt, gphit, ff_t)
      call place('U', 0.5_wp, 0._wp, glamu, gphiu)
      call place('V', 0._wp, 0.5_wp, glamv, gphiv)
      call place('F', 0.5_wp, 0.5_wp, glamf, gphif, ff_f)

      e1t(:, :) = rn_dx; e1u(:, :) = rn_dx; e1v(:, :) = rn_dx; e1f(:, :) = rn_dx
      e2t(:, :) = rn_dx; e2u(:, :) = rn_dx; e2v(:, :) = rn_dx; e2f(:, :) = rn_dx

      r1_e1u(:, :) = 1._wp/e1u; r1_e2u(:, :) = 1._wp/e2u
      r1_e1v(:, :) = 1._wp/e1v; r1_e2v(:, :) = 1._wp/e2v
      r1_e1e2t(:, :) = 1._wp/(e1t*e2t); r1_e1e2u(:, :) = 1._wp/(e1u*e2u)
      r1_e1e2v(:, :) = 1._wp/(e1v*e2v); r1_e1e2f(:, :) = 1._wp/(e1f*e2f)
      e1e2t(:, :) = e1t*e2t
      e1_e2t(:, :) = e1t/e2t; e2_e1t(:, :) = e2t/e1t
      e1_e2f(:, :) = e1f/e2f; e2_e1f(:, :) = e2f/e1f
      e1t2(:, :) = e1t*e1t; e2t2(:, :) = e2t*e2t
      e1f2(:, :) = e1f*e1f; e2f2(:, :) = e2f*e2f

   contains

      subroutine place(cd_nat, px, py, plam, pphi, pff)
         character(len=1), intent(in) :: cd_nat
         real(wp), intent(in) :: px, py               ! distance from the T point of the cell [cells]
         real(wp), intent(inout) :: plam(:, :), pphi(:, :)
         real(wp), optional, intent(inout) :: pff(:, :)
         integer :: ji, jj, ii, ij
         real(wp) :: zx, zy
         do jj = 1, jpj
            do ji = 1, jpi
               call nfd_source(cd_nat, mig(ji), mjg(jj), ii, ij)
               zx = real(ii, wp) - zoff + px
               zy = real(ij, wp) - 1.5_wp + py
               plam(ji, jj) = 1.e-3_wp*rn_dx*zx
               pphi(ji, jj) = 1.e-3_wp*rn_dx*zy
               if (present(pff)) pff(ji, jj) = rn_f0 + rn_beta*(rn_dx*zy - zlen)
            end do
         end do
      end subroutine place
   end subroutine dom_hgr

   !> Masks from the wet cells. On a coast fmask is rn_shlat: shear and vorticity of a wall at half a cell's distance.
   !!
   !! Masks are functions of the global cell, so halos need no exchange. All layers have the same coast.
   subroutine dom_msk()
      integer :: ji, jj, ii, ij, inum
      logical :: ll(0:1, 0:1)
      real(wp) :: zcoast

      do jj = 1, jpj
         do ji = 1, jpi
            ii = mig(ji)
            ij = mjg(jj)
            ll(:, :) = reshape(usr_def_wet([ii, ii + 1, ii, ii + 1], [ij, ij, ij + 1, ij + 1]), [2, 2])
            inum = count(ll)
            tmask(ji, jj, 1) = merge(1._wp, 0._wp, ll(0, 0))
            umask(ji, jj, 1) = merge(1._wp, 0._wp, ll(0, 0) .and. ll(1, 0))
            vmask(ji, jj, 1) = merge(1._wp, 0._wp, ll(0, 0) .and. ll(0, 1))
            ! a coast corner touches a wet face: two neighbouring wet cells among its four
            zcoast = merge(rn_shlat, 0._wp, (ll(0, 0) .and. ll(1, 0)) .or. (ll(0, 1) .and. ll(1, 1)) .or. &
            &                               (ll(0, 0) .and. ll(0, 1)) .or. (ll(1, 0) .and. ll(1, 1)))
            fmask(ji, jj, 1) = merge(1._wp, zcoast, inum == 4)
            r1_nf(ji, jj, 1) = 1._wp/real(max(inum, 1), wp)
            rland(ji, jj, 1) = merge(1._wp, 0._wp, inum == 0)
         end do
      end do
      do ji = 2, jpk
         tmask(:, :, ji) = tmask(:, :, 1); umask(:, :, ji) = umask(:, :, 1); vmask(:, :, ji) = vmask(:, :, 1)
         fmask(:, :, ji) = fmask(:, :, 1); r1_nf(:, :, ji) = r1_nf(:, :, 1); rland(:, :, ji) = rland(:, :, 1)
      end do
   end subroutine dom_msk
end module domain
