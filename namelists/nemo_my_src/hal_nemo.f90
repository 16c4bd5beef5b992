!> NEMO 4.2 and 5.0 coupled with Halocline: goes into MY_SRC beside cpl_halocline_mpi.f90; docs/pages/nemo.md says which lines
!! of NEMO call it. Names begin with hal_, because NEMO has a cpl_init, cpl_define, cpl_snd of its own (cpl_oasis3).
!!
!! Sent: u, v, t, s, ssh of one time level, and once masks, metrics, latitudes and the Coriolis parameter. Received:
!! du, dv [m s-2] and dt [degC s-1], ds [1e-3 s-1], each also as X_bias, added to the right-hand side. The namelist decides what
!! travels; what it does not name costs nothing. All numbers are of the interior and of levels 1 to jpkm1.
module hal_nemo
   use cpl_halocline, only : cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_restart, cpl_stop_requested, &
      &                      cpl_finalize, cpl_out, cpl_in
   use par_kind, only : wp
   use oce, only : uu, vv, ts, ssh
   ! dom_oce passes all of par_oce on: in which of both a name stands differs between versions
   use dom_oce, only : jpkm1, jp_tem, jp_sal, Ni_0, Nj_0, Nis0, Nie0, Njs0, Nje0, Ni0glo, Nj0glo, nimpp, njmpp, ntsi, ntei, &
      &                ntsj, ntej, l_Iperio, l_Jperio, l_NFold, c_NFtype, rn_Dt, tmask, umask, vmask, fmask, ff_t, ff_f, &
      &                gphit, e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f
   use in_out_manager, only : nit000, nitend, nitrst, lrst_oce, nn_date0, nn_leapy
   implicit none
   private
   public :: hal_init, hal_define, hal_stop, hal_snd, hal_dyn, hal_tra, hal_end

   !> A field that the ocean accepts: the tendency is kept from one exchange to the next.
   type :: t_in
      character(len=8) :: cname
      character(len=8) :: cunits
      character(len=1) :: cpoint
      integer          :: nid = 0
      real(wp), allocatable :: tend(:,:,:)            ! (Ni_0, Nj_0, jpkm1)
   end type t_in

   integer, parameter :: jp_in = 8, jp_static = 15
   type(t_in), save :: rin(jp_in)                     ! u, v, t, s of a closure, then of a bias correction
   integer, save :: nid_u, nid_v, nid_t, nid_s, nid_ssh

contains

   !> In nemo_init, in the place of its first communicator: before mpp_start( ilocal_comm ).
   subroutine hal_init(kcomm)
      integer, intent(out) :: kcomm   !< communicator of the ocean ranks
      call cpl_init('nemo', kcomm)
   end subroutine hal_init

   !> At the end of nemo_init: decomposition, fields and calendar; sends what never changes.
   subroutine hal_define()
      character(len=8)  :: clcal
      character(len=12) :: clbound
      integer :: jn
      clbound = 'closed'
      if (l_Iperio) clbound = 'cyclic_ew'
      if (l_Jperio) clbound = 'cyclic_ns'
      if (l_Iperio .and. l_Jperio) clbound = 'cyclic_both'
      if (l_NFold) clbound = 'fold_' // c_NFtype
      call cpl_domain(Ni0glo, Nj0glo, nimpp - 1, njmpp - 1, Ni_0, Nj_0, trim(clbound))
      call cpl_var(nid_u,   'u',   'm s-1', 'U', jpkm1, cpl_out)
      call cpl_var(nid_v,   'v',   'm s-1', 'V', jpkm1, cpl_out)
      call cpl_var(nid_t,   't',   'degC',  'T', jpkm1, cpl_out)
      call cpl_var(nid_s,   's',   '1e-3',  'T', jpkm1, cpl_out)
      call cpl_var(nid_ssh, 'ssh', 'm',     'T', 1,     cpl_out)
      call static(.true.)
      rin(1:4) = [t_in('du', 'm s-2', 'U'), t_in('dv', 'm s-2', 'V'), t_in('dt', 'degC s-1', 'T'), t_in('ds', '1e-3 s-1', 'T')]
      rin(5:8) = rin(1:4)
      rin(5:8)%cname = rin(1:4)%cname(1:2) // '_bias'
      do jn = 1, jp_in
         call cpl_var(rin(jn)%nid, trim(rin(jn)%cname), trim(rin(jn)%cunits), rin(jn)%cpoint, jpkm1, cpl_in)
         allocate(rin(jn)%tend(Ni_0, Nj_0, jpkm1))
      end do
      select case (nn_leapy)
      case (0)
         clcal = 'noleap'
      case (1)
         clcal = 'standard'
      case default
         clcal = '360_day'
      end select
      call cpl_define(rn_Dt, nit000, nitend, nn_date0, trim(clcal))
      call static(.false.)
   end subroutine hal_define

   !> What never changes: declared, or sent.
   subroutine static(ld_declare)
      logical, intent(in) :: ld_declare   !< .true.: declare, .false.: send
      integer, save :: iid(jp_static) = 0
      integer :: in
      in = 0
      call one('tmask', '1', 'T', tmask(:,:,1))
      call one('umask', '1', 'U', umask(:,:,1))
      call one('vmask', '1', 'V', vmask(:,:,1))
      call one('fmask', '1', 'F', fmask(:,:,1))
      call one('e1t', 'm', 'T', e1t)
      call one('e2t', 'm', 'T', e2t)
      call one('e1u', 'm', 'U', e1u)
      call one('e2u', 'm', 'U', e2u)
      call one('e1v', 'm', 'V', e1v)
      call one('e2v', 'm', 'V', e2v)
      call one('e1f', 'm', 'F', e1f)
      call one('e2f', 'm', 'F', e2f)
      call one('ff_t', 's-1', 'T', ff_t)
      call one('ff_f', 's-1', 'F', ff_f)
      call one('gphit', 'degrees_north', 'T', gphit)

   contains

      subroutine one(cdname, cdunits, cdpoint, pfield)
         character(len=*), intent(in) :: cdname, cdunits, cdpoint
         real(wp),         intent(in) :: pfield(:,:)
         in = in + 1
         if (ld_declare) then
            call cpl_var(iid(in), cdname, cdunits, cdpoint, 1, cpl_out)
         else
            call cpl_snd(iid(in), 0, pfield(Nis0:Nie0, Njs0:Nje0))
         end if
      end subroutine one
   end subroutine static

   !> At the beginning of each step, before stp: SIGTERM or the coupler may ask for an early end, with a restart.
   subroutine hal_stop(kt)
      integer, intent(in) :: kt   !< step that begins
      if (.not. cpl_stop_requested(kt)) return
      nitend = kt
      nitrst = kt
   end subroutine hal_stop

   !> Early in the step, after day (which decides on restarts): send the state; once a step, never at each stage.
   subroutine hal_snd(kt, Know)
      integer, intent(in) :: kt     !< step
      integer, intent(in) :: Know   !< time level of the state: Nbb in RK3 (5.0), Nnn in leapfrog (4.2)
      if (lrst_oce .and. kt == nitrst) call cpl_restart(kt)
      call cpl_snd(nid_u,   kt, uu(Nis0:Nie0, Njs0:Nje0, 1:jpkm1, Know))
      call cpl_snd(nid_v,   kt, vv(Nis0:Nie0, Njs0:Nje0, 1:jpkm1, Know))
      call cpl_snd(nid_t,   kt, ts(Nis0:Nie0, Njs0:Nje0, 1:jpkm1, jp_tem, Know))
      call cpl_snd(nid_s,   kt, ts(Nis0:Nie0, Njs0:Nje0, 1:jpkm1, jp_sal, Know))
      call cpl_snd(nid_ssh, kt, ssh(Nis0:Nie0, Njs0:Nje0, Know))
   end subroutine hal_snd

   !> Where dyn_asm_inc is called: add the momentum tendencies to the right-hand side of this tile. The first call of a step
   !! waits for the networks; the others (stages, tiles) add what is there.
   subroutine hal_dyn(kt, Krhs)
      integer, intent(in) :: kt, Krhs   !< step and time level of the right-hand side
      integer :: jn
      do jn = 1, jp_in, 4
         call take(jn, kt)
         call add(uu(:,:,:,Krhs), rin(jn)%tend, umask)
         call take(jn + 1, kt)
         call add(vv(:,:,:,Krhs), rin(jn + 1)%tend, vmask)
      end do
   end subroutine hal_dyn

   !> Where tra_asm_inc is called: the same for temperature and salinity.
   subroutine hal_tra(kt, Krhs)
      integer, intent(in) :: kt, Krhs   !< step and time level of the right-hand side
      integer :: jn
      do jn = 3, jp_in, 4
         call take(jn, kt)
         call add(ts(:,:,:,jp_tem,Krhs), rin(jn)%tend, tmask)
         call take(jn + 1, kt)
         call add(ts(:,:,:,jp_sal,Krhs), rin(jn + 1)%tend, tmask)
      end do
   end subroutine hal_tra

   !> Receive once a step; stages and tiles after the first find it here.
   subroutine take(kn, kt)
      integer, intent(in) :: kn, kt   !< place in the table, step
      integer, save :: ikt(jp_in) = -1
      if (ikt(kn) /= kt) call cpl_rcv(rin(kn)%nid, kt, rin(kn)%tend)
      ikt(kn) = kt
   end subroutine take

   !> prhs = prhs + ptend on the interior of this tile; without tiles that of the subdomain.
   subroutine add(prhs, ptend, pmask)
      real(wp), intent(inout) :: prhs(:,:,:)    !< right-hand side (jpi, jpj, jpk)
      real(wp), intent(in)    :: ptend(:,:,:)   !< tendency (Ni_0, Nj_0, jpkm1)
      real(wp), intent(in)    :: pmask(:,:,:)   !< land-sea mask (jpi, jpj, jpk)
      integer :: ji, jj, jk
      do jk = 1, jpkm1
         do jj = ntsj, ntej
            do ji = ntsi, ntei
               prhs(ji,jj,jk) = prhs(ji,jj,jk) + ptend(ji - Nis0 + 1, jj - Njs0 + 1, jk) * pmask(ji,jj,jk)
            end do
         end do
      end do
   end subroutine add

   !> After the last step, before mppstop.
   subroutine hal_end()
      call cpl_finalize()
   end subroutine hal_end
end module hal_nemo
